"""What AppArmor and SELinux deny: only guests have them."""
