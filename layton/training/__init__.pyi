from .cli import extract as extract, train as train
