"""The influence engine: exact per-sample gradients, their dot products and their norms.

It works for any model whose trainable parameters its rules cover, and does not depend on the
study. `xl_influence.tracin.gradient_products` is the entry point.

Gradients of many samples do not fit into memory at once. We use four words for "some at a time",
each in one sense only:

* A *batch* goes through the model in one forward and backward pass: samples of similar length.
* A *tile* is the samples of one side whose gradients are in memory at the same time. The
  gradients of a test tile stay there while one training tile after another is multiplied by them.
* A *shard* is the piece of the score cube that a process computes and writes at a time: one
  checkpoint, one test tile and a range of training samples (`xl_influence.cube`).
* A *block* is the largest piece of gradients that is ever built in full: some rows of one weight
  matrix's gradient for some samples. It is built, multiplied and overwritten by the next one.

Modules, each importing only those above it:

memory      keeps freed memory for reuse, in huge pages
timing      the names of the engine's steps, and a hook to time them
batches     which samples form a batch, and how a batch is padded
samples     samples as tokenizers and `datasets` give them
arithmetic  how matrices are multiplied: exactly, and by the faster library
factors     per-sample gradients as the factors they are made of
rules       from a module's input and output gradient to its per-sample gradients
losses      the loss of each sample of a batch
gradients   per-sample gradients of a batch from one backward pass
coverage    how a model uses its parameters, and a check that the rules cover them
probing     the samples that a model is probed with, and the plan that holds for all of them
sparse      gradients of embedding tables, kept and multiplied by token
store       gradients of many samples, in the form that takes the least memory
products    dot products of test and training gradients
layout      how many samples' gradients are in memory at the same time
engine      puts it together: batches, memory, precision
"""
