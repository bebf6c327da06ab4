"""What each verb about networks does, and what a container takes of its networks when it starts."""

# networks     networks (make and remove), documents (inspect)
# a start      endpoints (what a container takes), attachments (where that is written), ports, port_owner, firewall,
#              neighbours (who knows whom), foresight (--dry-run)
# meanwhile    connect
