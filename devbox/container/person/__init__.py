"""What a person brings along: the ssh-agent, git's identity, dotfiles."""
