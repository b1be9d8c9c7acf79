"""What a training script calls: saves with the record of the model, complete also if the script ends at once."""
