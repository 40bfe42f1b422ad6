"""The picture of now: contacts made of sightings, and what each platform last said."""
