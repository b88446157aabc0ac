"""Records side by side: boards, ranks, and the formats they are written in."""
