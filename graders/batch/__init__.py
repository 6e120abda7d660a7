"""Grading a class: submissions become jobs, jobs are claimed by workers, results are kept once and
for all.

jobs       what is to be graded: who, which exercise, which file, and the key that names it
intake     a folder, archives, notebooks or single files, made into jobs
journal    the folder in which a batch lives: plan, files, leases, results, quarantine, and the journal itself
lease      who works on a job now, and whether they still live
device     correctness side by side, timing alone on its device
claiming   the loop of one stateless worker
pool       workers on this machine; slurm, ray_cluster: elsewhere
batch      all of it: plan, launch, commit
"""
