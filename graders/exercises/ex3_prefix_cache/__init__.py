"""The laws of exercise 3 and the specification that they compare a prefix cache with."""
