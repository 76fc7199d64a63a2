"""Physical layer: link abstraction, beams, power control."""
