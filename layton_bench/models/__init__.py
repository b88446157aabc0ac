"""What a model is, adapters around models, and models in processes of their own."""
