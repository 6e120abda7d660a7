"""A folder for the Python path of SGLang's processes."""
