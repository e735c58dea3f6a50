"""The cells of the document that the project started from, as they stand but for the imports."""

# fmt: off
# ruff: noqa: F401, I001, NPY002

# [1]:
from fastvae import Dataset
from fastvae import MLP
from fastvae import VAE, Sampler
import matplotlib.pyplot as plt
import numpy as np
np.random.seed(3)

# [2]:
#load model
vae = VAE()
vae.load("mnist_variational_autoencoder")
print(vae)

# [3]:
#load dataset
dataset = Dataset(name = "mnist", train_size = 60000, test_size = 10000, batch_size = 1)
original = next(dataset.batches())[1][0] #load a random handwritten image
output = vae.feedforward(original)

# [4]:
#example of feedforward pass
f, ax = plt.subplots(1,2)
ax[0].imshow(original.reshape(28,28))
ax[0].set_title("Original")
ax[1].imshow(output.reshape(28,28))
ax[1].set_title("VAE")
plt.show()

# [5]:
#extrapolating from latent space:
n = 11

latent1 = vae.sampler.sample
vae.feedforward(next(dataset.batches())[1][0])
latent2 = vae.sampler.sample


f, ax = plt.subplots(1, n, figsize = (20,20))

for i in range(n):
    z = (latent1 * (n-1-i) + latent2 * i) / (n-1)
    ax[i].imshow(vae.decoder.feedforward(z).reshape(28,28))
    ax[i].set_title(f"{i/(n-1) * 100}%")
    ax[i].axis("off")

plt.show()
