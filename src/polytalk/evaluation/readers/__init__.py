"""What is to be seen in these pixels, and heard in this sound? Small networks that read mouths, faces and voices."""
