"""What a new trial would show: designs, simulated trials, power and assurance, required n."""
