"""The model: layers and sampler, the network that holds their parameters, and the VAE itself."""
