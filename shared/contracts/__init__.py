"""Every message that crosses the bus: the class is the contract. Catalogue: shared/README.md."""
