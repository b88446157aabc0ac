"""LaytonGen: the autoregressive transformer over Layton's codes."""
