import torch


class Cell(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, U, W, b, h):
        h_next = torch.tanh(x @ U + h @ W + b)
        ctx.save_for_backward(x, U, W, h, h_next)
        return h_next

    @staticmethod
    def backward(ctx, grad):
        x, U, W, h, h_next = ctx.saved_tensors
        dz = grad * (1 - h_next**2)
        return None, x.T @ dz, h.T @ dz, dz.sum(0), dz @ W  # wrong twice: no gradient of x; dz @ W.T


def backward(x, h_0, U, W, b, y):  # the adapter that has to be written
    leaves = [torch.tensor(a, requires_grad=True) for a in (x, U, W, b, h_0)]
    xs, U, W, b, h = leaves
    loss = 0
    for x_t, y_t in zip(xs, torch.tensor(y)):
        h = Cell.apply(x_t, U, W, b, h)
        loss = loss + (h * y_t).sum()
    loss.backward()
    return {k: v.grad if v.grad is None else v.grad.numpy() for k, v in zip(("dx", "dU", "dW", "db", "dh_0"), leaves)}
