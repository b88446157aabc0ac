from .handler import invoke as invoke, main as main
