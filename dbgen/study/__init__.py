"""What is simulated: parameter spaces, samplers, the plan, and the draws that follow from it."""
