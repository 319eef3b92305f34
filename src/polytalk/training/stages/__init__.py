"""What does each stage of mini learn, and by which loss? Autoencoder, speech, network, distillation."""
