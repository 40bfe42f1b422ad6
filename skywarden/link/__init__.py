"""What both ends of the radio link agree on: messages, keys, datagrams, enrolment."""
