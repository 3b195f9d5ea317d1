"""Language models that come as something else than a folder of safetensors: a GGUF file, or one inside a package."""
