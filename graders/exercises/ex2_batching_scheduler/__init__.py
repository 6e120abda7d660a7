"""The laws of exercise 2; the rules that they hold a scheduler to are
`graders.simulation.scheduler_rules`."""
