"""What is compared: sentence-transformers by default and tuned, vLLM, and the encoder of this project."""
