"""Which networks make up a model of each family? Text, picture, sound and video in, features and latents out."""
