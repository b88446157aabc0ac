"""Files of parameters: what there is, where it is kept, how it is fetched and read."""
