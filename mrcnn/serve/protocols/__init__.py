"""What clients write and read: functions between bytes and lists of pictures or results."""
