"""Who is in a picture, and where: heads in photographs and drawings, with bodies, masks and points of faces."""
