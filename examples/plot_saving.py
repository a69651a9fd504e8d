"""
A model that travels
====================

A fitted pipeline becomes one ONNX file that runs without torch or scikit-learn, and a fitted
estimator becomes one file that holds no code. Do they still say the same? They have to: here are
the differences of a thousand probabilities, and what becomes of a file with one flipped bit.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import onnxruntime
from sklearn.datasets import make_classification
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_drsn import DRSNClassifier
from sklearn_drsn.persistence import export_onnx, load, save

folder = Path(tempfile.mkdtemp())
X, y = make_classification(1300, 20, n_informative=6, n_classes=3, random_state=0)
y = np.array(["healthy", "worn", "broken"])[y]
pipeline = make_pipeline(
    StandardScaler(), DRSNClassifier(depth=3, width=16, max_epochs=10, random_state=0)
)
pipeline.fit(X[:300], y[:300])
X = X[300:]
expected = pipeline.predict_proba(X)

# %%
# ONNX: scaler, network, probabilities and the names of the classes in one graph.
export_onnx(pipeline, folder / "pipeline.onnx")
session = onnxruntime.InferenceSession(folder / "pipeline.onnx")
label, probabilities = session.run(None, {"X": X})
print("same labels:", np.mean(label == pipeline.predict(X)))
print("largest difference of a probability:", np.abs(probabilities - expected).max())

# %%
# A file to be loaded again: to predict, or to train on.
path = folder / "classifier.safetensors"
save(pipeline[-1], path)
loaded = make_pipeline(pipeline[0], load(path))
print("the same bits:", loaded.predict_proba(X).tobytes() == expected.tobytes())

# %%
# One bit of it flipped: refused, wherever the bit is.
data = bytearray(path.read_bytes())
data[len(data) // 2] ^= 1
path.write_bytes(data)
try:
    load(path)
except ValueError as error:
    print(error)

# %%
# The network of ONNX rounds in its own way, far below what matters.
fig, ax = plt.subplots(figsize=(6, 3.5))
difference = np.abs(probabilities - expected).max(axis=1)
ax.hist(np.log10(np.maximum(difference, 1e-12)), bins=30)
ax.axvline(-5, color="k", ls="--", label="tolerance of the export")
ax.set(xlabel="log10 of the largest difference of a sample", ylabel="samples")
ax.legend()
fig.tight_layout()
plt.show()
