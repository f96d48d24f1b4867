"""What people see of a result: terminal, JSON lines, table, HTML, annotated picture or clip, analysis folder.

Modules are imported one by one where they are needed, so that printing JSON loads neither Jinja2 nor Pillow.
"""
