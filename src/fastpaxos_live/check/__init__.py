"""The model check: the generated machines, as they ship, explored in small worlds. PML 9: "an unproven protocol"."""
