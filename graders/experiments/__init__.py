"""What the four labs measure, what their results say, and which popular claims hold by them."""
