"""Which `learning` a task is approved with: part of its digest, so that what moves here is approved by somebody.

It rises when what a task computes with `learning` may come out otherwise: a training, a metric, a table that is read.
"""

VERSION = 1
