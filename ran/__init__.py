"""The radio access network: nodes, PHY abstraction, MAC, RLC, slots, and learning carried by them."""
