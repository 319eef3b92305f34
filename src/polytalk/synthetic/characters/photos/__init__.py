"""How does somebody in a photograph speak? The picture is warped, and the inside of the mouth drawn."""
