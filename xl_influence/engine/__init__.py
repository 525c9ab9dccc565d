"""The influence engine: exact per-sample gradients, their dot products and norms, for any model that its rules cover.

It knows nothing of the study. `xl_influence.tracin.gradient_products` is the way in. Modules, each importing only those
above it:

memory      memory kept for reuse, in huge pages
arithmetic  how matrices are multiplied: exactly, and by the faster library
gradients   per-sample gradients of a batch from one backward pass
coverage    how a model uses its parameters, and a check that the rules cover them
sparse      gradients of embedding tables, kept and multiplied by token
products    dot products of test and training gradients
batches     which samples go through the model together
engine      what computes influence: batches, memory, precision
"""
