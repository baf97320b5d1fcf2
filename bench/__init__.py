"""Plans, records and judges load tests, and reports them: no Ansible in it; plans want PyYAML, the report Jinja2."""
