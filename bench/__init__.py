"""Records, checks and shows load-test results: standard library only, no Ansible in it."""
