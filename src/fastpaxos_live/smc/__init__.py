"""The compiler of state-machine specifications (PML 6.1): one description, code for both cores, a model, documents."""
