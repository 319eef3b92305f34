"""How do people and animals from vector shapes look? Faces, mouths, hair, clothes and hands in several styles."""
