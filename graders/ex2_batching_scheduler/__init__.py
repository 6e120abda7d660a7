"""The laws of exercise 2 and the specification that they compare a scheduler with."""
