"""What a run leaves behind: the record, its folder, the results folder."""
