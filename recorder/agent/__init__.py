"""The node service: records containers by plan and on request, within a budget of memory."""
