"""What does the embedded model compute with? Its autoencoder and encoders, small enough to be carried along."""
