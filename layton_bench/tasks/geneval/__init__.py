"""GenEval: prompts, detector, judge, scores."""
