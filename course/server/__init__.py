"""The learner's engine behind OpenAI's API, over HTTP. Nothing of the web leaves this room."""
