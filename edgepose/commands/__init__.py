"""What the commands do, one file each; `edgepose.cli` holds their names and options."""
