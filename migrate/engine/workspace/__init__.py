"""The directory beside DST in which a run works, resumes and publishes."""
