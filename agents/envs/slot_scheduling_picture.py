def draw(environment, state, replica, figure):
    figure.subplots()
